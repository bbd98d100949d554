"""Networks that are made from graphs: trained, predicted, searched for."""
