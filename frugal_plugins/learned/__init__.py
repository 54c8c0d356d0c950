"""Numbers that were learned once and ship with the package, and the small arithmetic that uses them."""
