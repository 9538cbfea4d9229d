"""Which labels of detectors count for which categories of other services, whose protocols some doors speak."""
