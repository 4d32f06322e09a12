"""Sets of recordings: public sets, the simulated set, and local cohorts."""
