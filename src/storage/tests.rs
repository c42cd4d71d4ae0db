//! Tables over real folders, end to end.
