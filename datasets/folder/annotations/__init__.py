"""What people draw with annotation tools, as a folder of masks: COCO, LabelMe, CVAT and Roboflow.

    shapes      one drawn shape, and the picture that it was drawn on; masks from shapes, and where they overlap
    coco labelme cvat roboflow   each reads what one tool exports
    convert     finds out which tool it was, and writes pictures, masks and classes.yaml
"""
