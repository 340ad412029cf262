"""The Mixpeek API: one connection with a budget for each route, and what its answers mean."""
