"""Keys, and signatures in a PDF."""
