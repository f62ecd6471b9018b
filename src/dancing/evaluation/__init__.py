"""Honest tables: how well a bundle dances and draws, beside what it has to be measured against.

`dancing.evaluation.motion.evaluate` and `dancing.evaluation.image.evaluate` make a
`dancing.evaluation.table.Report` of clips that the bundle was not trained on. The measures are
those of `dancing.metrics`; docs/metrics.md explains them. Inference only, no torch.
"""
