"""Writes the kernels of `fastpath/kernels`: a partial evaluator, renderers, the search for instruction orders.

Owns generated text and nothing that runs at run time: an installed fastpath never imports this package.
"""
