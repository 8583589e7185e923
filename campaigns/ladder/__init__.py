"""Several fidelities in one campaign: one evaluator screens, others confirm."""
