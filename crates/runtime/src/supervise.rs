//! The parent while the container lives: terminal, signals, exit.
