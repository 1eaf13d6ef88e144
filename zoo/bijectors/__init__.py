"""`tfb.Bijector` subclasses: pure maths on tensors and callables, no variables.

Direction, everywhere: `forward` = latent -> data, `inverse` = data -> latent.
"""
