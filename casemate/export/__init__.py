"""What leaves a case for other tools: one file per target, everything masked on the way out."""
