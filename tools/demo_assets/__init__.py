"""How the demo weights in assets/ were grown; run by tools/make_demo_assets.py."""
