"""Every unit of an image is a token. A config that prunes states patch_selection_method and alpha; edges decide then."""

image_processor = dict(type='QwenImageProcessorWrapper', method='laplacian', blur=5)
