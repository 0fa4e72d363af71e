"""What was seen? Log lines, samples and the lives of injections become the evidence of a window. Pure.

`lines` reads what the proxies wrote, `calls` puts attempts to their calls, `proof` asks whether a fault was really drawn and hit,
`windows` cuts a stretch of time out of it all.
"""
