"""How the demo weights in assets/ were grown; run by tools/research/make_demo_assets.py."""
