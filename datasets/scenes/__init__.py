"""Procedural street scenes: an endless, seeded renderer of pictures with exact labels in Cityscapes' 19 classes.

`lraspp scenes OUT --frames N --size HxW --seed S` writes them to disk; `datasets.scenes.write.drive` yields
them. From seed to picture: `Street` (`street`, `traffic`, `plan`, `weather`) chooses what of the `catalog` stands where,
and `Renderer` (`raster`, `shade`) draws it.
"""
