"""Stewards: each process with an engine makes true what should be warm, and reports what it holds."""
