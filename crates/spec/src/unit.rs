//! Sizes and durations as docker's command line writes them.
