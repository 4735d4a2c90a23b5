//! Agreement of the team path with the CPU comes with the conformance suite of the backends.
