"""All measurements behind the tables of README, docs and assets, by name: tools/reproduce.py makes them anew."""

from research.measurements import (
    demo,
    models,
    patches,
    questions,
    reinforcement,
    speed,
    sweep,
    training_free,
    videos,
    visual_chain,
)
from research.measurements.measurement import Measurement

MEASUREMENTS: dict[str, Measurement] = {
    measurement.name: measurement
    for topic in (demo, training_free, visual_chain, patches, sweep, speed, questions, models, reinforcement, videos)
    for measurement in topic.MEASUREMENTS
}
