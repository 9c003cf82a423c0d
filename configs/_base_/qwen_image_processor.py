"""Every unit of an image is a token. A config that prunes states patch_selection_method and alpha.

Then edges decide, and no token is larger than 2x2 units: what measured best (docs/adaptive_patches.md).
"""

image_processor = dict(type='QwenImageProcessorWrapper', method='laplacian', blur=5, max_token_size=2)
