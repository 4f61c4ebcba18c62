"""The facts that `speeddata.doctor` judges, asked of the system; nothing of it is changed."""
