"""From results to one document, and from the document to PDF and HTML."""
