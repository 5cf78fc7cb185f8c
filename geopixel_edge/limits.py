"""Every bound of the package in one place, each with its reason."""

from __future__ import annotations

# --- Images -----------------------------------------------------------------------------------------------
# Pillow's own error bound (twice its warning bound); decoded RGB of this size is 537 MB.
MAX_IMAGE_PIXELS = 178_956_970
# A side beyond this overflows the 16-bit tile arithmetic of common formats (JPEG stops at 65,535).
MAX_IMAGE_SIDE_PX = 65_535
# An uncompressed file of the most pixels at eight bytes each is 1.4 GB; WebP is read whole before its header is known.
MAX_IMAGE_FILE_BYTES = 2 * 1024 * 1024 * 1024
# Several images share one prompt; ten of the smallest (841 tokens) still leave half of it for text.
MAX_IMAGES = 10

# Percentiles of a scene come from one picture of it no larger than this: 4 million samples give them to 0.1 %.
MAX_PERCENTILE_SIDE_PX = 2_048
# What is asked, and shown, of a whole scene: SAM 2 sees 1,024 px a side, a screen some 1,600.
MAX_OVERVIEW_SIDE_PX = 1_600
# A strip or tile is decoded whole for any pixel of it; the largest in use, tiles of 4,096 pixels, take 50 MB a band.
MAX_BLOCK_BYTES = 256 * 1024 * 1024

# --- Answers ----------------------------------------------------------------------------------------------
# Masks grow from 256 logits a side: the most ragged of the widest image is some 20 MB of RLE, a usual one 10 kB.
MAX_ANSWER_BYTES = 256 * 1024 * 1024

# --- Kernels -----------------------------------------------------------------------------------------------
# More threads than any machine here has cores only cost stacks.
MAX_THREADS = 1_024
# Masks have 256 logits a side; one logit of the largest image is this wide, so a coarser outline says nothing.
MAX_TOLERANCE_PX = 256.0

# --- Divider ----------------------------------------------------------------------------------------------
# 41 views of 400 tokens alone exceed the prompt limit, so a larger request cannot be honoured.
MAX_HD_NUM = 40
# The original divides each of several images into at most this many tiles, whatever was asked.
HD_NUM_SEVERAL_IMAGES = 6

# --- Prompt and generation --------------------------------------------------------------------------------
# The original's prompt builder cuts at this length (argument default; it overrides the config's).
MAX_PROMPT_TOKENS = 16_384
# More characters than the prompt limit can hold even at four characters a token.
MAX_QUERY_CHARS = 65_536
# At 256 tokens a turn this many fill the prompt.
MAX_HISTORY_TURNS = 64
# Whole chats fit at 16 characters a token; this many are encoded in a second.
MAX_HISTORY_CHARS = 262_144
# Prompt limit plus this stays within the 24,576 positions up to which plain RoPE is exact.
MAX_NEW_TOKENS = 8_192

# --- Engine directory -------------------------------------------------------------------------------------
# A 7B manifest is under 100 kB; anything near this is not one.
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
# Sizes and token ids fit a 32-bit signed integer, so that products of two fit the 64 bits of tensor shapes.
MAX_ENGINE_SIZE = 2**31 - 1

# --- Checkpoint -------------------------------------------------------------------------------------------
# Widths, vocabularies and positions of published models are far below; a product of three fits tensor shapes.
MAX_MODEL_SIZE = 2**20
# The deepest published language models have fewer than 200 layers; building modules takes time for each.
MAX_MODEL_LAYERS = 512
# SAM 2 sees 1,024 pixels a side; activations grow with the square, and with the fourth power in global attention.
MAX_MODEL_SIDE_PX = 4_096

# --- Scenes -----------------------------------------------------------------------------------------------
# GDAL's own bound of a side.
MAX_SCENE_SIDE_PX = 2**31 - 1
# Ten days at a second each; ledgers and merging are tested up to here.
MAX_SCENE_WINDOWS = 1_000_000
# A window is one image to the model, divided as any other.
MAX_SCENE_WINDOW_PX = 8_192
# An area of interest is some outlines; borders of all countries at full detail take a quarter of this.
MAX_AREA_BYTES = 256 * 1024 * 1024
# A table of these is gigabytes; what finds more has answered noise.
MAX_OBJECTS = 10_000_000
# Each is a question to every window; more kinds than this are a description's work.
MAX_PHRASES = 16
# Each process holds an engine of its own; no machine here has room for so many.
MAX_JOBS = 64

# --- Server -----------------------------------------------------------------------------------------------
# Two dozen uncompressed pictures of 1,024 px in base64; `geopixel-edge serve --max-body` changes it.
MAX_BODY_BYTES = 64 * 1024 * 1024
# Values of a JSON body: each takes some 60 bytes, so that what is made of a body is no more than a long body itself.
MAX_JSON_VALUES = 1_000_000
# Bodies of all requests that are held at once; what comes beyond waits for nothing and is refused.
MAX_HELD_BODY_BYTES = 256 * 1024 * 1024
# Images times phrases of one request: a screen of map tiles and a phrase, or a scene and many.
MAX_SERVED_QUESTIONS = 64
# Requests that wait; at a second each, a client would have given up long before its turn.
MAX_QUEUED = 10_000
# Image files of requests that wait, beside one that is larger and waits alone.
MAX_QUEUED_BYTES = 512 * 1024 * 1024
# Connections that are open at once; each takes a descriptor, and 1,024 is the usual bound of a process.
MAX_CONNECTIONS = 512
