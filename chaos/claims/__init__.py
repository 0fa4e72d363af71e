"""What is claimed of the evidence, and does it hold? `expect`, one file per kind of claim, and what they share.

    expect                          the methods that experiments call; when a claim is judged
    judging, gates, naive           the order of the checks; may it be judged; could it have failed
    success ... amplification       one kind of claim each, all with the outline of `claim.Claim`
    shares, subjects                what many kinds share: bits to judgements, evidence to columns
    explanation                     what people read beside a verdict

Pure: windows come from `chaos.model`, decisions from `chaos.stats`. docs/adding-a-claim.md walks through the smallest kind.
"""
