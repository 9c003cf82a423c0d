"""The pass that reads texts behind prefixes."""

import re

import pytest
from tiny_grounder import tiny_grounder
from tiny_samples import tiny_sample


@pytest.mark.parametrize('implementation', ['eager', 'sdpa'])
def test_attention_that_was_set_to_another_is_refused(implementation):
    model, sample = tiny_grounder(), tiny_sample(['a'])
    (expected,) = model.encode([sample])
    model.lmm.set_attn_implementation(implementation)
    message = (
        f"the LMM's attention was set to {implementation!r}, which keeps no maps; set it back: "
        "lmm.set_attn_implementation({'text_config': 'flmm_capturing_sdpa'})"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        model.encode([sample])
    model.lmm.set_attn_implementation({'text_config': 'flmm_capturing_sdpa'})
    (found,) = model.encode([sample])
    assert (found.attentions - expected.attentions).abs().max() < 1e-6
