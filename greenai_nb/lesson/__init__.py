"""What a notebook imports to be a lesson: parameters, records, claims, exercises, predictions."""
