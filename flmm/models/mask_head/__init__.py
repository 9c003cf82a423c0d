"""From attention maps to masks: coarse by the mask head, refined by SAM."""
