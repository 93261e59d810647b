import json

from gaudi_lab.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline, stock_config


def test_classes_of_this_package_are_written_as_those_of_diffusers():
    written = {
        "_class_name": "GaudiStableDiffusionPipeline",
        "scheduler": ["gaudi_lab.diffusers.ddim", "GaudiDDIMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "safety_checker": [None, None],
        "sizes": [8, 16],
    }
    values = json.loads(stock_config.as_stock(json.dumps(written), GaudiStableDiffusionPipeline))
    assert values == written | {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
    }


def test_a_class_of_the_users_own_is_written_as_the_stock_class_below_it():
    class Mine(GaudiDDIMScheduler):
        pass

    assert json.loads(stock_config.as_stock("{}", Mine)) == {"_class_name": "DDIMScheduler"}
