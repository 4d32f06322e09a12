"""Sets of recordings: public sets, the synthetic set, and local cohorts."""
