"""Several devices working together."""
