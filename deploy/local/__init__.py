"""The local stack: Pitwall with simulated vehicles and the third-party servers that it needs, on loopback.

``options`` says what is wanted, ``stack`` turns that into processes and files without touching anything,
``lifecycle`` starts and stops them. ``python -m deploy.local`` is what the Makefile calls.
"""
