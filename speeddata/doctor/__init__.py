"""What would go wrong, judged from facts alone; `speeddata.symptoms` gathers them."""
