"""Options of a POD: each declared once, and where its value comes from."""
