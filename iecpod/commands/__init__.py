"""The verbs of iecpod, a file each: values and ports in, a report out."""
