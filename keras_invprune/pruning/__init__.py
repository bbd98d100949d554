"""The machine: a model under masks, trained, pruned and rewound."""
