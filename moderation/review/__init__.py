"""People decide cases: they take one, look at it within their budget, and give a verdict, which then becomes final."""
