//! Theoretical occupancy and a roofline estimate: a model, not a measurement.
