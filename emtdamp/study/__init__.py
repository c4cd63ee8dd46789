"""What the book needs and a user of the package does not: pages, records, sweeps, contests."""
