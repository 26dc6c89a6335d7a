"""Restricted maximum likelihood: variances from records."""
