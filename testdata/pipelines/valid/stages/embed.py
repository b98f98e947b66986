# stands for a script that a stage brings along
