"""What makes a source: datums from somewhere, each on its way when it is due."""
