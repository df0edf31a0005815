"""Features of a whole set: extracted, projected, clustered, looked up."""
