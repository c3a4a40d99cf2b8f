//! Whole-system suites, and the programs that they need.
