"""The HTTP server behind `geopixel-edge serve`: a front that speaks OpenAI's form, and a worker process a device.

The front (uvicorn, Starlette) holds no model: it checks, queues and passes on. A worker holds a `Pipeline`, answers
one job at a time, and may die without taking the front with it.
"""
