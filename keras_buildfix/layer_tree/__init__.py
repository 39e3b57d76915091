"""The layers inside a layer or model: their tree, their names, selecting some of them, and waiting for their build."""
