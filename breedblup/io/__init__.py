"""Where files are opened: tables (CSV, Parquet) and relationship matrices; no other module reads an input file."""
