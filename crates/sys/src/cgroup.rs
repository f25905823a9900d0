//! cgroupfs files by directory fd.
