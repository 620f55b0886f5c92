"""iecpod: virtual telco-edge labs from OPNFV POD descriptors."""

__version__ = "0.1.0"
