"""The layers inside a layer or model: their tree, their names, selecting some of them, and waiting for their build."""

#: What other parts of the package may use, by file.
SHARED = {
    "after_build": ("AfterBuild", "Refusal", "is_to_build", "layers_to_build", "waiting_for"),
    "selecting": (
        "Part",
        "Select",
        "Selection",
        "find_excluded",
        "find_selected",
        "in_words",
        "is_everything",
        "nothing_called",
        "part_of",
    ),
    "tree": (
        "LayerNode",
        "PLACE_NAME",
        "counted",
        "kind_of",
        "name_of",
        "own_name",
        "snake_case",
        "unique",
        "weight_tree",
    ),
}
