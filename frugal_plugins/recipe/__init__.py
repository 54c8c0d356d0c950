"""A recipe: one YAML file that says which ways to pay less are used, and how."""
